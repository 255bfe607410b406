console.info("top level");

function main() {
    return "ran";
}
