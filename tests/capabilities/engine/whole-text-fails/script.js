const order = { id: 7 };

await null;
order.items.length;
