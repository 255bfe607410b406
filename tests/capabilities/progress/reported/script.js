function main() {
    const answers = [];
    for (let done = 0; done <= 3; done += 1) answers.push(execution.progress(done, 3, `part ${done}`));
    execution.progress(7.5);
    execution.progress(8, null, null);
    execution.progress(9, undefined, { not: 'text' });
    execution.progress(10, 3, 'more than all');
    return { answers, is: typeof execution.progress };
}
