console.log(`hello ${context.user.name}`);
