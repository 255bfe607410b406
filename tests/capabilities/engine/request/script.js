// A request, as the host shapes one for an HTTP script.
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
    return {
        json: req.json(),
        text: req.text(),
        members: Object.keys(req),
        binary: [tried(() => binary.json()), tried(() => binary.text())],
        wrong: tried(() => wrong.json()),
        other: typeof JSON.parse('{"rawBody": "1"}').json,
    };
}
