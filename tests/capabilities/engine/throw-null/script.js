// QuickJS throws null too where it has no memory for an error. This is not that.
function main() {
    throw null;
}
