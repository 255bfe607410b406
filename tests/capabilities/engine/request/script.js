// A request with a body of JSON, as the host shapes one for an HTTP script.
function main(req) {
    const tried = (work) => {
        try {
            return work();
        } catch (error) {
            return `${error.name}: ${error.message}`;
        }
    };
    const binary = Object.setPrototypeOf({ rawBody: '/w==', bodyEncoding: 'base64' }, Object.getPrototypeOf(req));
    const wrong = Object.setPrototypeOf({ rawBody: '{', bodyEncoding: 'utf-8' }, Object.getPrototypeOf(req));
    const { body } = req;
    const copy = { ...req };
    body.push('kept');
    const changed = { ...req, body: 'mine' };
    req.other = Object.create(req);
    req.other.body = 'its own';
    return {
        json: req.json(),
        text: req.text(),
        encoding: req.bodyEncoding,
        body,
        same: req.body === body && copy.body === body,
        ownKeys: Object.keys(body[2]),
        changed: changed.body,
        children: [req.other.body, req.body.length],
        members: Object.keys(req),
        binary: [tried(() => binary.json()), tried(() => binary.text())],
        wrong: tried(() => wrong.json()),
        other: typeof JSON.parse('{"rawBody": "1"}').json,
    };
}
