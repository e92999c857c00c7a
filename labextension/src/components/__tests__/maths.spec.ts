import { readFileSync } from 'fs';
import { join } from 'path';

import { DOLLAR } from '../../chat/dialect';
import { definesCommands, DEFINITION, putDollars } from '../markdown/maths';

const PUBLISHED = join(
  __dirname,
  '../../../../jupyter_ext/cellar_jupyter/kernel/published.py'
);

function host(html: string): HTMLElement {
  const node = document.createElement('div');
  node.innerHTML = html;
  return node;
}

describe('definesCommands', () => {
  it.each([
    '$\\def\\alpha{x}$',
    '$\\gdef \\alpha{x}$',
    '$\\let\\alpha=\\beta$',
    '$\\newcommand{\\R}{x}$',
    '$\\renewcommand\\frac[2]{x}$',
    '$\\renewenvironment{matrix}{}{}$',
    '$\\DeclareMathOperator{\\sin}{x}$',
    '$\\DeclarePairedDelimiter{\\abs}{|}{|}$',
    '$\\Newextarrow{\\xto}{1,2}{3}$',
    '$\\definecolor{red}{rgb}{0,0,1}$',
    '$\\mathtoolsset{centercolon}$',
    '$\\require{physics}$',
    '$\\de<wbr>f\\alpha{x}$',
    '<b>$</b>&#92;def\\alpha{x}$'
  ])('sees the definition in %s', html => {
    expect(definesCommands(host(html))).toBe(true);
  });

  it.each([
    '$\\delta + \\leq \\newline \\left( \\defeq$',
    '$a \\overset{def}{=} b$',
    'The command <code>\\def</code> and $x$',
    '<pre>\\newcommand{\\R}{x}</pre>'
  ])('lets %s be drawn', html => {
    expect(definesCommands(host(html))).toBe(false);
  });

  it('knows the commands that the magics know', () => {
    expect(readFileSync(PUBLISHED, 'utf-8')).toContain(DEFINITION.source);
  });
});

describe('putDollars', () => {
  it('puts each dollar apart from what MathJax reads', () => {
    const node = host(`<p>${DOLLAR}5 and <b>${DOLLAR}6</b></p>`);
    putDollars(node);
    expect(node.innerHTML).toBe(
      '<p><span>$</span>5 and <b><span>$</span>6</b></p>'
    );
  });
});
