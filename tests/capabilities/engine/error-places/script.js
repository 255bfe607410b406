// Every place is that of the expression, not of the function.
function propertyOfUndefined(order = {}) {
    const total = 1;
    return order.customer.name + total;
}

function unknownName() {
    const total = 1;

    return total + misspelt;
}

function destructuredUndefined(order = {}) {
    const total = 1;
    const { name } = order.customer;
    return name + total;
}

function notAFunction() {
    const list = { push: 1 };
    return list
        .push(1);
}

function thrown() {
    function inner() {
        if (true) {
            throw new RangeError("thrown");
        }
    }
    return inner();
}

async function afterAwait() {
    await null;
    await null;
    return undefined.name;
}

function inCallback() {
    return [1, 2, null].map((item) => {
        const two = 2;
        return item.name + two;
    });
}

function multiLineCall() {
    return Math.max(
        1,
        missing.value,
        2,
    );
}

async function rejectedHostCall() {
    const value = 1;
    await storage.set(
        "key",
        () => value,
    );
}

function aText() {
    throw "a text";
}

function anObject() {
    throw { code: 42 };
}

function ownError() {
    class OrderError extends Error {
        constructor(message) {
            super(message);
            this.name = "OrderError";
        }
    }
    throw new OrderError("no items");
}

function withCause() {
    try {
        null.x;
    } catch (cause) {
        throw new Error("outer", { cause });
    }
}

function assignedToConstant() {
    const fixed = 1;
    fixed = 2;
}

function usedTooEarly() {
    early;
    let early = 1;
}

function inGetter() {
    const object = {
        get value() {
            return null.x;
        },
    };
    return object.value;
}

function fromParse() {
    return JSON.parse("{bad");
}
