const key = secrets.get("KEY");
function main() {}
