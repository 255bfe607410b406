export function main() {
    return "main";
}

export default () => "default";
