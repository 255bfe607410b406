async function main() {
    const followed = await http.get(`{server}/redirect?to=${encodeURIComponent("{server}/json")}`);
    const relative = await http.get("{server}/redirect?to=json");
    return {
        followed: [followed.status, followed.url === "{server}/json", followed.data.ok],
        relative: relative.status,
        off_the_list: await refusal(() => http.get(`{server}/redirect?to=${encodeURIComponent("https://evil.example/")}`)),
        other_port: await refusal(() => http.get(`{server}/redirect?to=${encodeURIComponent("http://127.0.0.1:1/")}`)),
        private_network: await refusal(() => http.get(`{server}/redirect?to=${encodeURIComponent("http://10.0.0.1:9000/")}`)),
        other_scheme: await refusal(() => http.get(`{server}/redirect?to=${encodeURIComponent("file:///etc/passwd")}`)),
        endless: await refusal(() => http.get("{server}/loop")),
    };
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
