// All routers by their name in `moe.router`. To add one, see docs/extending.md.
export { deepseekRouter as deepseek } from './deepseek.js';
export { expertChoiceRouter as 'expert-choice' } from './expert-choice.js';
export { hashRouter as hash } from './hash.js';
export { locmoeRouter as locmoe } from './locmoe.js';
export { locmoePlusRouter as 'locmoe-plus' } from './locmoe-plus.js';
export { mogeRouter as moge } from './moge.js';
export { switchRouter as switch } from './switch.js';
