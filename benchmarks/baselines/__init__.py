"""Language models of the field on the same characters that text canvases hold: how far away is it?"""
