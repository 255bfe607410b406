function helper() {
    return "helper";
}

function handleRequest() {
    return "handleRequest";
}

async function main() {
    return "main";
}
