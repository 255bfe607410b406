function main() {
    try {
        null.name;
    } catch (error) {
        console.error("it failed:", error);
        console.error(new RangeError("alone"));
        console.error("nested", { reason: new Error("within") });
    }
}
