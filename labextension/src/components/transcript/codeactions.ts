/** Clicks on the bars of code blocks: one listener for all of them. */
import type { TranslationBundle } from '@jupyterlab/translation';
import type * as React from 'react';

import type { ISubject } from '../../chat/subject';
import type { ICodeTarget } from '../../chat/tokens';
import { copyText } from '../clipboard';
import { codeOf, type CodeAction } from '../markdown/code';

export function actOnCode(
  event: React.MouseEvent,
  target: ICodeTarget,
  trans: TranslationBundle,
  /** of the question that the clicked code answers */
  subject: (button: Element) => ISubject | null = () => null
): void {
  const button = (event.target as Element).closest<HTMLElement>(
    '[data-cellar-action]'
  );
  if (!button) {
    return;
  }
  const action = button.dataset.cellarAction as CodeAction;
  const { code, language } = codeOf(button);
  if (action === 'copy') {
    void copyText(code).then(done => {
      if (done) {
        confirm(button, trans.__('Copied'));
      }
    });
  } else if (action === 'replace') {
    target.replace?.(code, language, subject(button));
  } else {
    target[action]?.(code, language);
  }
}

/** A word beside the button for a moment, read out as well. */
function confirm(button: HTMLElement, word: string): void {
  const label = button.getAttribute('aria-label') ?? '';
  button.classList.add('jp-mod-done');
  button.setAttribute('aria-label', word);
  button.title = word;
  setTimeout(() => {
    button.classList.remove('jp-mod-done');
    button.setAttribute('aria-label', label);
    button.title = label;
  }, 1_500);
}
