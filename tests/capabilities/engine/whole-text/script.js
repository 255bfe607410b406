const answer = { tenant: context.tenant.id, had: await storage.get("key") };
await storage.set("key", "written");
console.info("runs at every call");
return answer;
