// Validates an order against tables that its top level builds: what most calls
// of tenants look like, with no host call so that peers do the same work.
const products = new Map();
for (let id = 1; id <= 200; id++) {
  products.set(id, { id, name: `Product ${id}`, price: (id * 37) % 101, stock: (id * 13) % 50, active: id % 17 !== 0 });
}

const rules = [
  (order, errors) => {
    if (!order.items || order.items.length === 0) errors.push("The order has no items");
  },
  (order, errors) => {
    for (const item of order.items) {
      const product = products.get(item.product_id);
      if (!product || !product.active) errors.push(`There is no product ${item.product_id}`);
      else if (product.stock < item.quantity) errors.push(`${product.name}: ${item.quantity} ordered, ${product.stock} in stock`);
    }
  },
  (order, errors) => {
    const total = order.items.reduce((sum, item) => sum + (products.get(item.product_id)?.price ?? 0) * item.quantity, 0);
    if (Math.abs(total - order.total) > 0.005) errors.push(`The items cost ${total.toFixed(2)}, the order says ${order.total.toFixed(2)}`);
  },
  (order, errors) => {
    if (!/^[^@\s]+@[^@\s]+\.[a-z]{2,}$/i.test(order.email)) errors.push(`${order.email} is not an address`);
  },
];

async function validateOrder(order) {
  const errors = [];
  for (const rule of rules) rule(order, errors);
  return { valid: errors.length === 0, errors };
}
