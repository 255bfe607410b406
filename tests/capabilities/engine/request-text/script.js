function main(req) {
    return { body: req.body, text: req.text(), encoding: req.bodyEncoding };
}
