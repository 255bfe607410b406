const prices = { pen: 1 };

const total = prices.pad.amount;

function main() {
    return total;
}
