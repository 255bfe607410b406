async function main() {
    const { backend } = services;
    const refusal = async (work) => {
        try {
            return { accepted: await work() };
        } catch ({ name, message, code, status }) {
            return { name, message, code, status };
        }
    };
    return {
        told: await refusal(() => backend.order(404)),
        not_told: await refusal(() => backend.order(500)),
        redirect: await refusal(() => backend.redirect({ to: "http://169.254.169.254/" })),
        unknown: await refusal(() => backend.truncate()),
        arguments: await refusal(() => backend.order({ id: 7 })),
    };
}

async function uncaught() {
    await services.backend.order(409);
}
