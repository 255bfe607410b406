function endless() {
    for (;;) {}
}

function inRegularExpression() {
    return /^(a+)+$/.test("a".repeat(40) + "b");
}

function inComparator() {
    return [3, 1, 2].sort(() => {
        for (;;) {}
    });
}

function inGetter() {
    return {
        get value() {
            for (;;) {}
        },
    };
}

function inToJson() {
    return {
        toJSON() {
            for (;;) {}
        },
    };
}

async function inJobs() {
    for (;;) await 0;
}

function inGenerator() {
    function* numbers() {
        for (;;) yield 1;
    }
    let sum = 0;
    for (const number of numbers()) sum += number;
    return sum;
}

function inNative() {
    return Array.from({ length: 2 ** 31 }, () => 0).length;
}
