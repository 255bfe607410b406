function main() {
    return "not reached";
}
