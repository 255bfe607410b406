// A body that the script does not look at is shown by whoever prints the request, and may be replaced.
function main(req) {
    const shown = JSON.stringify(req);
    const fresh = JSON.parse(JSON.stringify(req));
    req.body = "mine";
    return { shown, fresh, mine: req.body, members: Object.keys(req) };
}
