function helper() {}

return helper();
