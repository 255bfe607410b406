// Greets whoever asks. HTTP: GET /api/custom/hello?greeting=Ahoy
//   airlock run scripts-examples/hello.js --context @scripts-examples/inputs/context-acme.json
//   curl -H 'Authorization: Bearer acme-demo-token' http://127.0.0.1:8080/api/custom/hello
export default function hello(req) {
    const name = context.user?.name ?? 'stranger';
    const greeting = req?.query?.greeting ?? 'Hello';
    return { status: 200, body: { message: `${greeting}, ${name} of ${context.tenant.name}!` } };
}
