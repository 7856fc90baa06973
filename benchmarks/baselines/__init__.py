"""Language models of the field on the same characters that text canvases hold, to measure the distance to them."""
