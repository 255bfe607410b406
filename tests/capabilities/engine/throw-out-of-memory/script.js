// Nor is an error that only says so.
function main() {
    const error = new Error("out of memory");
    error.name = "InternalError";
    throw error;
}
