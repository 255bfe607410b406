// Five requests that were admitted together have three redirects left, not each.
async function main() {
    const asked = Array.from({ length: 5 }, () => http.get("{server}/redirect?to=json"));
    const settled = await Promise.allSettled(asked);
    const refused = settled.filter(({ status }) => status === "rejected").map(({ reason }) => reason.limit.name);
    return { answered: settled.length - refused.length, refused };
}
