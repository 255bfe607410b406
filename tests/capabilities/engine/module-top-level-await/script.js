const table = await Promise.resolve(new Map([["a", 1]]));

export const main = (key) => table.get(key) ?? null;
