/** `npm run docs`: writes the pages of docs/ that are made from code. */
import { writePages } from './pages.ts';

writePages();
