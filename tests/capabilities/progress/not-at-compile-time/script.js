execution.progress(1, 2);

function main() {
    return 1;
}
