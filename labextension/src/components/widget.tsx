/** The panel as a Lumino widget: React's root, and the page's sleep and wake. */
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { createRoot, type Root } from 'react-dom/client';

import { guardFocus } from './focus';
import { cellarIcon } from './icons';
import { Panel, type IPanelProps } from './Panel';

export class PanelWidget extends Widget {
  constructor(private readonly props: IPanelProps) {
    super();
    const { trans } = props.room;
    this.id = 'cellar-panel';
    this.addClass('jp-Cellar-panel');
    this.title.icon = cellarIcon;
    this.title.caption = trans.__('Cellar: ask the assistant');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', trans.__('Cellar'));
  }

  /** Put the cursor into the composer. */
  focusComposer(): void {
    this.node
      .querySelector<HTMLElement>('.jp-Cellar-composer textarea')
      ?.focus();
  }

  protected onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.root = createRoot(this.node);
    this.root.render(<Panel {...this.props} />);
    this.unguard = guardFocus(this.node);
  }

  protected onBeforeDetach(message: Message): void {
    this.unguard();
    this.root?.unmount();
    this.root = null;
    super.onBeforeDetach(message);
  }

  protected onActivateRequest(message: Message): void {
    super.onActivateRequest(message);
    this.focusComposer();
  }

  private root: Root | null = null;
  private unguard: () => void = () => undefined;
}
