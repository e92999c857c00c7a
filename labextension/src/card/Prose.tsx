/** The answer's Markdown, drawn as the panel draws it; the bars of its code blocks act on the cell around the card. */
import { useEffect, useRef } from 'react';
import type { MouseEvent } from 'react';

import { copyText } from '../components/clipboard';
import { codeOf } from '../components/markdown/code';
import { MarkdownView } from '../components/markdown/view';
import type { IMarkdownKit } from '../components/markdown/view';
import type { ICardHost } from './host';

export interface IProseProps {
  text: string;
  open: boolean;
  kit: IMarkdownKit;
  host: () => ICardHost | null;
  hasHost: boolean;
}

export function Prose(props: IProseProps): JSX.Element {
  const { text, open, kit } = props;
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<MarkdownView | null>(null);
  useEffect(() => {
    if (!place.current) {
      return;
    }
    const made = new MarkdownView(place.current, kit);
    view.current = made;
    return () => made.dispose();
  }, [kit]);
  useEffect(() => view.current?.update(text, open), [text, open, kit]);
  return (
    <div
      ref={place}
      className={`jp-Cellar-card-prose jp-Cellar-markdown jp-RenderedHTMLCommon${
        props.hasHost ? ' jp-mod-inCell' : ''
      }`}
      onClick={event => act(event, props.host)}
    />
  );
}

/** What a code block's button does; those without a meaning here are hidden by card.css. */
function act(event: MouseEvent, host: () => ICardHost | null): void {
  const button = (event.target as Element).closest<HTMLElement>(
    '[data-cellar-action]'
  );
  if (!button) {
    return;
  }
  const { code } = codeOf(button);
  switch (button.dataset.cellarAction) {
    case 'copy':
      void copyText(code);
      break;
    case 'insertBelow':
      host()?.insertBelow(code, 'code');
      break;
    case 'replace':
      host()?.replace(code);
      break;
  }
}
