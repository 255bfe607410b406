export default async function main() {
    return [await refusal(() => import("std")), await refusal(() => import("os")), await refusal(() => import("file:///etc/passwd"))];
}

// What a refused call says.
async function refusal(work) {
    try {
        return { accepted: await work() };
    } catch (error) {
        return `${error.name}: ${error.message}`;
    }
}
