// The build puts kitoken's own module here, as a worker has no import map.
export { default, Kitoken } from 'kitoken/web';
