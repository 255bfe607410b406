function validateOrder() {}

function validateClient() {}
