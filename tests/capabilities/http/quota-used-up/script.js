// A redirect is a request as well.
async function main() {
    const answers = [];
    for (const path of ["redirect?to=json", "json", "json"]) {
        try {
            answers.push((await http.get(`{server}/${path}`)).status);
        } catch (error) {
            answers.push(`${error.name}: ${error.message}`, error.limit);
        }
    }
    return answers;
}

async function uncaught() {
    await http.get("{server}/json");
}
