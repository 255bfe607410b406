export const answer = await http.get("{server}/json");

export default function main() {}
