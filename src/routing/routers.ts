// Every router, by the name that `moe.router` takes: a new one is its file and a line here (docs/extending.md).
export { hashRouter as hash } from './hash.js';
export { locmoeRouter as locmoe } from './locmoe.js';
export { locmoePlusRouter as 'locmoe-plus' } from './locmoe-plus.js';
export { switchRouter as switch } from './switch.js';
