// Scripts are sloppy, as those in a browser's page are.
function main() {
    undeclared = 1;
    const scope = { inner: 2 };
    let found;
    with (scope) {
        found = inner;
    }
    var octal = 010;
    return { undeclared, found, octal, self: (function () { return this === globalThis; })(), arguments: (function (a) { a = 2; return arguments[0]; })(1) };
}
