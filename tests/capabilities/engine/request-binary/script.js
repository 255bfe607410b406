function main(req) {
    return { body: req.body, encoding: req.bodyEncoding };
}
