// Only the script's own frames, under the file's own name.
function inner() {
    throw new Error("within");
}

export default async function main() {
    await null;
    [1].forEach(function visit() {
        inner();
    });
}
