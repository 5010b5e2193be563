"""A Panel app without attention as one offline file: `python docs/examples/offline_app.py pendulum.html`.

A pendulum is drawn by a component in JavaScript; two sliders of Panel set its length and damping.
"""

from __future__ import annotations

import sys

import panel as pn
import param
from panel.custom import JSComponent

from attnpanel.ui.standalone_app import save_standalone


class Pendulum(JSComponent):
    """A damped pendulum, drawn in the page."""

    length = param.Number(1.0, bounds=(0.2, 2.0), doc="Of the rod, in metres.")
    damping = param.Number(0.1, bounds=(0.0, 1.0), doc="Per second.")

    _esm = """
    export function render({ model }) {
      const canvas = document.createElement("canvas")
      canvas.width = 360; canvas.height = 300; canvas.title = "A pendulum"
      const pen = canvas.getContext("2d")
      let angle = 1.2, speed = 0, before = performance.now()
      function draw(now) {
        const dt = Math.min(0.05, (now - before) / 1000)
        before = now
        speed += (-9.81 / model.length * Math.sin(angle) - model.damping * speed) * dt
        angle += speed * dt
        const reach = 120 * model.length
        const x = 180 + reach * Math.sin(angle), y = 20 + reach * Math.cos(angle)
        pen.clearRect(0, 0, 360, 300)
        pen.beginPath(); pen.moveTo(180, 20); pen.lineTo(x, y); pen.stroke()
        pen.beginPath(); pen.arc(x, y, 14, 0, 7); pen.fillStyle = "#3b5bdb"; pen.fill()
        canvas.dataset.reach = reach
        if (canvas.isConnected || !canvas.dataset.drawn) requestAnimationFrame(draw)
        canvas.dataset.drawn = "yes"
      }
      requestAnimationFrame(draw)
      return canvas
    }
    """


def app() -> pn.Column:
    """Return the app: two sliders, linked in the page, and the pendulum."""
    pendulum = Pendulum(width=360, height=300)
    length = pn.widgets.FloatSlider(label="Length, m", start=0.2, end=2.0, value=1.0, step=0.1)
    damping = pn.widgets.FloatSlider(label="Damping, 1/s", start=0.0, end=1.0, value=0.1, step=0.1)
    length.jslink(pendulum, value="length")
    damping.jslink(pendulum, value="damping")
    return pn.Column("## A pendulum", length, damping, pendulum)


if __name__ == "__main__":
    path = save_standalone(app(), sys.argv[1], title="A pendulum")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
