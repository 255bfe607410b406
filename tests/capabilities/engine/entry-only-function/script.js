const rate = 2;

const double = (n) => n * rate;
