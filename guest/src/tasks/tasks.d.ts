// Timers. Delays are in milliseconds. A timer counts as one host call each time,
// and one that nothing waits for does not keep the call from ending.

declare function setTimeout(callback: (...values: any[]) => void, delay?: number, ...values: any[]): number;
declare function setInterval(callback: (...values: any[]) => void, delay?: number, ...values: any[]): number;
declare function clearTimeout(timer?: number | null): void;
declare function clearInterval(timer?: number | null): void;
