"""Receivers that people would write instead, each as short and as honest as it would be."""
