function main() {
    const refused = (...given) => {
        try {
            execution.progress(...given);
            return 'taken';
        } catch (error) {
            return `${error.name}: ${error.message}`;
        }
    };
    return [
        refused(),
        refused(null),
        refused('3'),
        refused(-1),
        refused(NaN),
        refused(1, Infinity),
        refused(1, '10'),
        refused(1, 10, 'fine'),
    ];
}
