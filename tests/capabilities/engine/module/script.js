import.meta;

let calls = 0;
const double = (n) => n * 2;

export { double as twice };
export const rate = 3;
export class Thing {}
export default async function (n) {
    return { n: double(n), calls: ++calls, strict: (function () { return this === undefined; })() };
}
