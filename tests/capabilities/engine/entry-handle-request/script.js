function other() {
    return "other";
}

const handleRequest = () => "handleRequest";
