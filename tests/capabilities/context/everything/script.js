function main() {
    return context;
}
