events.publish("compiled");

function main() {}
